#!/usr/bin/env bash
# Seven bytes are announced and signed, and more are sent: seven are read, so the signature holds.
. "$(dirname "$0")/lesson.sh"

body='{"a":1}'
request "$url" \
  -H 'Content-Length: 7' \
  -H "X-Hub-Signature-256: sha256=$(sign "$body")" \
  --data-binary "$body and more"
expect 200 '"status":"accepted"'
