#!/usr/bin/env bash
# An installed receiver, as a machine runs it: by npm, as a user who is not root, with a /tmp that cannot be written.
# Twice: as `npm ci` installs it, and as `NODE_ENV=production npm ci` does, on a Node that strips types by itself.
# Each has to take a signed delivery, and to stop and leave nothing behind on a SIGTERM that is sent to npm.
# Then a Node that does not strip types has to say so in one line.
#
# usage, as root: test/installed.sh
set -euo pipefail
cd "$(dirname "$0")/.."

# Not below /tmp, which the receiver is to find read-only. User 65534 has to get in.
place=$(mktemp -d /var/tmp/installed.XXXXXX)
chmod 755 "$place"
pid=
# Also ends what a receiver that failed has left running.
clean_up() {
  for folder in whole production; do
    for process in $(processes_in "$place/$folder"); do kill -KILL "$process" 2> /dev/null || true; done
  done
  rm -rf "$place"
}
trap clean_up EXIT

fail() {
  echo "installed.sh: $*" >&2
  cat "$place"/*.log >&2
  exit 1
}

# Copies what is under version control and belongs to a receiver, and installs there. `$1` is the folder's name.
install_receiver() {
  local folder=$place/$1
  mkdir -p "$folder/home"
  cp -r webhook-receiver.ts lib package.json package-lock.json tsconfig.json "$folder"
  (cd "$folder" && npm ci --no-audit --no-fund)
  chown -R 65534:65534 "$folder"
}

# The first Node 22 that strips types by itself, and one that does not.
package=node-$(node -p 'process.platform + "-" + process.arch')
for version in 22.18.0 22.13.0; do
  npm install --prefix "$place/$version" --no-audit --no-fund "$package@$version"
done
stripping=$place/22.18.0/node_modules/$package/bin
older=$place/22.13.0/node_modules/$package/bin

# Where mounts are not allowed, a TMPDIR that only root can write stands for the read-only /tmp.
read_only_tmp='mount --bind /tmp /tmp && mount -o remount,bind,ro /tmp'
isolate=(unshare --mount)
if ! unshare --mount sh -c "$read_only_tmp" 2> /dev/null; then
  echo "installed.sh: no mounts on this machine: TMPDIR=$place in place of a read-only /tmp"
  read_only_tmp="export TMPDIR=$place"
  isolate=()
fi

# Becomes npm, so that this process's id is npm's.
as_user() {
  export HOME=$PWD/home npm_config_update_notifier=false
  unset NODE_ENV NODE_OPTIONS
  exec "${isolate[@]}" sh -c "$read_only_tmp"' && exec setpriv --reuid=65534 --regid=65534 --clear-groups "$@"' sh "$@"
}

# Polls for up to 60 seconds. `$1` says what for, the rest is the command.
await() {
  local what=$1
  shift
  for ((tries = 0; tries < 600; tries++)); do
    if "$@"; then return; fi
    sleep 0.1
  done
  fail "waited too long for $what"
}

is_over() { ! kill -0 "$pid" 2> /dev/null; }
is_listening_or_over() { grep -q '"message":"listening"' "$log" || is_over; }
# Every process that works in the receiver's folder.
processes_in() {
  for process in /proc/[0-9]*; do
    if [ "$(readlink "$process/cwd" || true)" = "$1" ]; then echo "${process#/proc/}"; fi
  done
}

# Starts the receiver in folder `$1`, with a delivery and a SIGTERM.
try_receiver() {
  local folder=$place/$1 port body signature status exit_code=0
  log=$place/$1.log
  (cd "$folder" && as_user npm start -- --port 0 --log json) > "$log" 2>&1 &
  pid=$!
  await "a receiver that listens" is_listening_or_over
  port=$(sed -n 's/.*"url":"http:[^"]*:\([0-9]*\)\/.*/\1/p' "$log")
  [ -n "$port" ] || fail "$1: it does not listen"

  body='{"zen":"Keep it logically awesome."}'
  signature=$(printf '%s' "$body" | openssl dgst -sha256 -hmac "$(sed -n 's/^WEBHOOK_SECRET=//p' "$folder/.env")" | sed 's/^.* //')
  status=$(curl -s -o "$place/answer" -w '%{http_code}' "http://127.0.0.1:$port/webhook" \
    -H 'X-GitHub-Event: ping' -H "X-Hub-Signature-256: sha256=$signature" -d "$body")
  [ "$status" = 200 ] || fail "$1: a signed delivery got $status"

  kill -TERM "$pid"
  await "npm to end" is_over
  wait "$pid" || exit_code=$?
  pid=
  [ "$exit_code" = 0 ] || fail "$1: npm ended with $exit_code"
  grep -q '"message":"stopped"' "$log" || fail "$1: the receiver did not stop in order"
  [ -z "$(processes_in "$folder")" ] || fail "$1: left running: $(processes_in "$folder")"
  echo "installed.sh: $1: took a delivery as user 65534, and stopped"
}

install_receiver whole
try_receiver whole

(export NODE_ENV=production && install_receiver production)
[ ! -e "$place/production/node_modules/.bin" ] || fail "NODE_ENV=production npm ci has installed development packages"
(export PATH=$stripping:$PATH && try_receiver production)

log=$place/older.log
if (cd "$place/production" && PATH=$older:$PATH as_user timeout 60 npm start --silent -- --port 0) > "$log" 2>&1; then
  fail "it starts on a Node that does not strip types"
fi
[ "$(grep -c . "$log")" = 1 ] && grep -q '^webhook-receiver needs a Node that runs TypeScript' "$log" ||
  fail "a Node that does not strip types says more or less than one line"
echo "installed.sh: $(cat "$log")"
