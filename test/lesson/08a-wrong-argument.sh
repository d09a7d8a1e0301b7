#!/usr/bin/env bash
# A wrong argument ends the program with one line and exit code 2, before it listens.
. "$(dirname "$0")/lesson.sh"

answer=$(npx node webhook-receiver.ts --port house 2>&1)
code=$?
expect 2 '--port: expected a number from 0 to 65535, not "house"'
