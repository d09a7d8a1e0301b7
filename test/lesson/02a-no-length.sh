#!/usr/bin/env bash
# A chunked body does not say how long it is going to be.
. "$(dirname "$0")/lesson.sh"

request "$url" -H 'Transfer-Encoding: chunked' --data-binary 'hello'
expect 411 'Content-Length is required'
