#!/usr/bin/env bash
# The event is the header, and the payload's "action" behind it; without a header it is unknown.
. "$(dirname "$0")/lesson.sh"

deliver() {
  body=$1
  request "$url" -H "X-GitHub-Event: $2" -H "X-Hub-Signature-256: sha256=$(sign "$body")" --data-binary "$body"
}

deliver '{}' push
expect 200 '"event":"push"'
deliver '{"action":"opened"}' pull_request
expect 200 '"event":"pull_request.opened"'
deliver '{"action":"opened"}' ''
expect 200 '"event":"unknown"'
