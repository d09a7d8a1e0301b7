#!/usr/bin/env bash
# One character is changed after signing.
. "$(dirname "$0")/lesson.sh"

signature=$(sign '{"amount":10}')
request -i "$url" -H "X-Hub-Signature-256: sha256=$signature" --data-binary '{"amount":90}'
expect 401 'WWW-Authenticate: Signature realm="webhook"'
