#!/usr/bin/env bash
# Not signed at all.
. "$(dirname "$0")/lesson.sh"

body='{"zen":"Design for failure."}'
request "$url" -H 'Content-Type: application/json' --data-binary "$body"
expect 401 'Signature validation failed.'
