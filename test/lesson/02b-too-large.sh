#!/usr/bin/env bash
# The announcement is enough for a no: 99999999 bytes are announced and five are sent.
. "$(dirname "$0")/lesson.sh"

request "$url" -H 'Content-Length: 99999999' --data-binary 'hello'
expect 413 'The body is larger than this receiver accepts.'
