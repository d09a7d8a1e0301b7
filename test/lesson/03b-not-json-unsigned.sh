#!/usr/bin/env bash
# The same body from a stranger: 401, because nothing is parsed before it is known to be authentic.
. "$(dirname "$0")/lesson.sh"

request "$url" -H 'Content-Type: application/json' --data-binary 'not json'
expect 401 'Signature validation failed.'
