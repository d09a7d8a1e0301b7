#!/usr/bin/env bash
# A signed POST is accepted, and the answer names the event.
. "$(dirname "$0")/lesson.sh"

body='{"zen":"Keep it logically awesome."}'
request "$url" \
  -H 'Content-Type: application/json' \
  -H 'X-GitHub-Event: ping' \
  -H "X-Hub-Signature-256: sha256=$(sign "$body")" \
  --data-binary "$body"
expect 200 '"event":"ping"'
