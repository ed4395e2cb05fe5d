#!/usr/bin/env bash
# The original's two questions, shard by shard: how many rows, of how many distinct customers?
#
#   DIRECTORY_URL=http://127.0.0.1:7070 DIRECTORY_TOKEN=.. scripts/verify.sh
#
# It shares no code with what it checks. It asks the directory only where the shards are, and counts with psql,
# mariadb and sqlite3 alone. Passwords go through the environment (PGPASSWORD, MYSQL_PWD), never onto a command line that others can list.
# Exit status: 0 every shard answered, 1 one did not, 2 the directory did not or a tool is missing.

set -euo pipefail

directory_url=${DIRECTORY_URL:-http://127.0.0.1:7070}
readonly query='SELECT COUNT(*), COUNT(DISTINCT customer_id) FROM person'

usage() {
    echo "usage: [DIRECTORY_URL=http://127.0.0.1:7070] [DIRECTORY_TOKEN=..] $0"
}

need() {
    if ! command -v "$1" >/dev/null 2>&1; then
        echo "$0: $1 is needed to $2" >&2
        return 2
    fi
}

# One shard a line: name, flavor, host, port, user, password, database. The separator is a control character, so that
# empty fields and fields with spaces come through `read` as they are.
readonly separator=$'\x1f'
token() {
    [[ -z ${DIRECTORY_TOKEN:-} ]] || printf 'Authorization: Bearer %s\n' "$DIRECTORY_TOKEN"
}

shards() {
    local answer
    # curl reads the token from a pipe: nobody can list it.
    answer=$(curl --fail --silent --show-error --max-time 10 --header @<(token) "${directory_url%/}/shards/credentials") || return
    printf '%s' "$answer" | python3 -c '
import json, sys
for shard in json.load(sys.stdin)["shards"]:
    fields = [str(shard[name]) for name in ("name", "flavor", "host", "port", "user", "password", "database")]
    if any(ord(char) < 32 for field in fields for char in field):
        sys.exit("a field of shard %r has a control character" % shard["name"])
    print("\x1f".join(fields))
'
}

# Prints "rows customers", whatever the engine.
ask_postgres() { # host port user password database
    need psql "ask PostgreSQL" || return
    PGHOST=$1 PGPORT=$2 PGUSER=$3 PGPASSWORD=$4 PGDATABASE=$5 PGCONNECT_TIMEOUT=10 \
        psql --no-psqlrc --no-password --quiet --tuples-only --no-align --field-separator=' ' \
        --set=ON_ERROR_STOP=1 --command="$query" </dev/null
}

ask_mysql() { # host port user password database
    need mariadb "ask MySQL or MariaDB" || return
    MYSQL_PWD=$4 mariadb --no-defaults --protocol=tcp --connect-timeout=10 --host="$1" --port="$2" --user="$3" \
        --batch --skip-column-names --execute="$query" "$5" </dev/null | tr '\t' ' '
}

ask_sqlite() { # path
    need sqlite3 "ask SQLite" || return
    if [[ ! -f $1 ]]; then
        echo "$0: there is no file $1" >&2
        return 1
    fi
    sqlite3 -readonly -batch -bail -noheader -separator ' ' -cmd '.timeout 10000' "$1" "$query" </dev/null
}

ask() { # flavor host port user password database
    case $1 in
        postgres) ask_postgres "$2" "$3" "$4" "$5" "$6" ;;
        mysql) ask_mysql "$2" "$3" "$4" "$5" "$6" ;;
        sqlite) ask_sqlite "$6" ;;
        *)
            echo "$0: cannot ask a shard of the flavor $1" >&2
            return 1
            ;;
    esac
}

if (($# > 0)); then
    usage >&2
    exit 2
fi
need curl "ask the directory"
need python3 "read the directory's answer"

list=$(shards) || {
    echo "$0: the directory at $directory_url does not say where the shards are" >&2
    exit 2
}

status=0
total=0
table="shard flavor rows customers"$'\n'
while IFS=$separator read -r name flavor host port user password database; do
    [[ -n $name ]] || continue
    if counts=$(ask "$flavor" "$host" "$port" "$user" "$password" "$database") &&
        [[ $counts =~ ^([0-9]+)\ ([0-9]+)$ ]]; then
        rows=${BASH_REMATCH[1]} customers=${BASH_REMATCH[2]}
        total=$((total + rows))
    else
        echo "$0: shard $name cannot be asked" >&2
        rows='-' customers='-'
        status=1
    fi
    table+="$name $flavor $rows $customers"$'\n'
done <<<"$list"

awk '
    { for (i = 1; i <= NF; i++) { cell[NR, i] = $i; if (length($i) > width[i]) width[i] = length($i) } }
    END {
        for (row = 1; row <= NR; row++) {
            printf "%-*s  %-*s", width[1], cell[row, 1], width[2], cell[row, 2]
            printf "  %*s  %*s\n", width[3], cell[row, 3], width[4], cell[row, 4]
        }
    }
' <<<"${table%$'\n'}"
echo "$total rows in all"
exit "$status"
