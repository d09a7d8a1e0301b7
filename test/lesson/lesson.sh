# shellcheck shell=bash disable=SC2034
# What the scripts share. The secret is the one that the receiver wrote into .env on its first start.
url=${WEBHOOK_URL:-http://127.0.0.1:3010/webhook}
secret=${WEBHOOK_SECRET:-$(sed -n 's/^WEBHOOK_SECRET=//p' .env)}
[ -n "$secret" ] || { echo 'no secret: start the receiver, and run this in the same folder'; exit 1; }

# The signature of a text. openssl writes different words before it, depending on its version: sed cuts them off.
sign() { printf '%s' "$1" | openssl dgst -sha256 -hmac "$secret" | sed 's/^.* //'; }

# Calls curl, and keeps what came back: the answer, and its status code.
request() {
  reply=$(curl -sS -w ' %{http_code}' "$@") || exit 1
  code=${reply##* }
  answer=${reply% *}
}

# expect CODE TEXT: says what was seen, and ends the script with 1 unless it was this code and this text.
expect() {
  case "$code $answer" in
    "$1 "*"$2"*) echo "ok: $1 $2" ;;
    *) printf 'NOT OK: expected %s %s\n        but saw %s %s\n' "$1" "$2" "$code" "$answer"; exit 1 ;;
  esac
}
