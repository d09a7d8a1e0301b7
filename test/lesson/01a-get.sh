#!/usr/bin/env bash
# A webhook is a POST. Anything else is answered 405, with the method that is allowed.
. "$(dirname "$0")/lesson.sh"

request -i "$url"
expect 405 'Allow: POST'
