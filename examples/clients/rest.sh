#!/bin/sh
# Ask with curl: sh rest.sh http://127.0.0.1:8000 MODEL INPUT '[0.1, 0.2, 0.3, 0.4]' [FILE WITH A TOKEN]
set -eu
url=$1 model=$2 input=$3 row=$4 token=${5:-}

# The token travels in a file that curl reads, never on its command line.
headers=$(mktemp)
trap 'rm -f "$headers"' EXIT
if [ -n "$token" ]; then printf 'Authorization: Bearer %s\n' "$(cat "$token")" > "$headers"; fi
columns=$(printf '%s' "$row" | tr -cd ',' | wc -c)

curl --fail-with-body --silent --show-error --header "@$headers" "$url/v2/models/$model"
echo
curl --fail-with-body --silent --show-error --header "@$headers" "$url/v2/models/$model/infer" --data @- <<BODY
{
  "parameters": {"onecode_unit": "pump-7"},
  "inputs": [{"name": "$input", "datatype": "FP32", "shape": [1, $((columns + 1))], "data": $row}]
}
BODY
echo
