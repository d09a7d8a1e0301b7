#!/usr/bin/env bash
# The right signature in the wrong form is no signature: no prefix, another prefix, a digit too few, two at once.
. "$(dirname "$0")/lesson.sh"

body='{"amount":10}'
right=$(sign "$body")
for value in "$right" "sha1=$right" "sha256=${right%?}" "sha256=$right, sha256=$right"; do
  request "$url" -H "X-Hub-Signature-256: $value" --data-binary "$body"
  expect 401 'Signature validation failed.'
done

request "$url" -H "X-Hub-Signature-256: sha256=$right" --data-binary "$body"
expect 200 '"status":"accepted"'
