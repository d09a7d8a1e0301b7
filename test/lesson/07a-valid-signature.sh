#!/usr/bin/env bash
# Signed with the secret of both sides.
. "$(dirname "$0")/lesson.sh"

body='{"zen":"Design for failure."}'
request "$url" \
  -H 'Content-Type: application/json' \
  -H "X-Hub-Signature-256: sha256=$(sign "$body")" \
  --data-binary "$body"
expect 200 '"status":"accepted"'
