#!/usr/bin/env bash
# The answer is the same whether the first digit of a signature is wrong or only the last one.
. "$(dirname "$0")/lesson.sh"

body='{"a":1}'
right=$(sign "$body")
other() { printf '%s' "$1" | tr 0-9a-f 1-9a-f0; }
first=$(other "$(printf '%s' "$right" | cut -c 1)")${right#?}
last=${right%?}$(other "$(printf '%s' "$right" | cut -c 64)")

request "$url" -H "X-Hub-Signature-256: sha256=$first" --data-binary "$body"
expect 401 'Signature validation failed.'
answer_to_first=$answer
request "$url" -H "X-Hub-Signature-256: sha256=$last" --data-binary "$body"
expect 401 "$answer_to_first"
