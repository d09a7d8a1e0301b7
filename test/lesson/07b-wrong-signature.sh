#!/usr/bin/env bash
# Well-formed, but made with another secret.
. "$(dirname "$0")/lesson.sh"

body='{"zen":"Design for failure."}'
secret="not $secret"
request "$url" \
  -H 'Content-Type: application/json' \
  -H "X-Hub-Signature-256: sha256=$(sign "$body")" \
  --data-binary "$body"
expect 401 'Signature validation failed.'
