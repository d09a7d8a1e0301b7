#!/usr/bin/env bash
# The sender has proved who it is, but its body cannot be parsed.
. "$(dirname "$0")/lesson.sh"

for body in 'not json' '{"a":1,}' ''; do
  request "$url" \
    -H 'Content-Type: application/json' \
    -H "X-Hub-Signature-256: sha256=$(sign "$body")" \
    --data-binary "$body"
  expect 400 'The body is not valid JSON.'
done
