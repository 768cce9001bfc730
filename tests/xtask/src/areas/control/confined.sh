# Runs a real daemon, and requests made from its OpenAPI document, where neither can do harm: a network of its own without a way out,
# mounts of its own, and everything but the world's directory read-only. Whatever still runs at the end is killed.
# Takes the world, the program, schemathesis, the token, the port, and seconds.
set -eu
world=$1 proxyfs=$2 schemathesis=$3 token=$4 port=$5 seconds=$6

ip link set lo up
mount --make-rprivate /
mount --bind "$world" "$world"
mount -o remount,bind,ro /
export HOME="$world/home" XDG_CONFIG_HOME="$world/config" XDG_STATE_HOME="$world/state" XDG_DATA_HOME="$world/data" \
    XDG_RUNTIME_DIR="$world/run" TMPDIR="$world/tmp" PROXYFS_KEYRING=off AWS_EC2_METADATA_DISABLED=true
mkdir -p "$HOME" "$TMPDIR" "$world/mount" "$XDG_CONFIG_HOME/proxyfs"
cd "$TMPDIR"

umask 077
printf %s "$token" >"$world/token"
cat >"$XDG_CONFIG_HOME/proxyfs/proxyfs.toml" <<END
[listen]
address = "127.0.0.1:$port"
token_file = "$world/token"
[volumes.photos]
store = "file://$world/store"
mount_point = "$world/mount"
END
# A store that cannot be reached is the one failure of the daemon's work that made-up requests are expected to meet.
cat >"$world/schemathesis.toml" <<END
[checks.not_a_server_error]
expected-statuses = ["2xx", "3xx", "4xx", 503]
END

"$proxyfs" volume create photos --store "file://$world/store"
"$proxyfs" serve --json >"$world/serving" 2>"$world/log" &
tries=0
until grep -q '^}' "$world/serving"; do
    tries=$((tries + 1))
    [ $tries -lt 300 ] || { cat "$world/log"; exit 1; }
    sleep 0.1
done
echo kept >"$world/mount/file"

# What fits the document may still make no sense here (a store of no known kind, a budget that is too small): then 400 is right.
"$schemathesis" --config-file "$world/schemathesis.toml" run --checks all --exclude-checks positive_data_acceptance --seed 1 --no-color --warnings off \
    --request-timeout 60 --max-time "$seconds" --header "Authorization: Bearer $token" \
    --exclude-path /v1/events --exclude-path /v1/logs "http://127.0.0.1:$port/v1/openapi.json" || code=$?

# It still serves, and nothing panicked.
"$proxyfs" status >/dev/null || code=1
if grep -n panicked "$world/log"; then code=1; fi
exit ${code:-0}
