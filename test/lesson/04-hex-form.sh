#!/usr/bin/env bash
# HMAC-SHA256 in hex: the known answer for a known secret and body, and both ways to write its letters.
. "$(dirname "$0")/lesson.sh"

body='{"event":"lesson.completed","id":42}'
hex=$(secret='lesson-secret' && sign "$body")
echo "$hex"
[ "$hex" = 7ecd0c0184e4071bef32da734f1918ebe8e8d66ca90eec0d719156401b3dd984 ] || exit 1

for hex in "$(sign "$body" | tr a-f A-F)" "$(sign "$body")"; do
  request "$url" -H "X-Hub-Signature-256: sha256=$hex" --data-binary "$body"
  expect 200 '"status":"accepted"'
done
