#!/usr/bin/env bash
# timingSafeEqual throws when the lengths differ. A receiver that does not check them first answers 500.
. "$(dirname "$0")/lesson.sh"

thrown=$(node -e '
const { timingSafeEqual } = require("node:crypto");
try {
  timingSafeEqual(Buffer.from("7ecd0c01", "hex"), Buffer.from("7ecd", "hex"));
} catch (error) {
  console.log(error.code);
}')
echo "$thrown"
[ "$thrown" = ERR_CRYPTO_TIMING_SAFE_EQUAL_LENGTH ] || exit 1

request "$url" -H 'X-Hub-Signature-256: sha256=7ecd' --data-binary '{}'
expect 401 'Signature validation failed.'
