#!/usr/bin/env bash
# Nobody delivers to this path.
. "$(dirname "$0")/lesson.sh"

request "$url/nobody" --data-binary 'hello'
expect 404 'There is nothing at this path.'
