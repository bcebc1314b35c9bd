#!/bin/sh
# An S3 server (SeaweedFS) for one machine: one bucket, one key, data in a folder.
# Usage: s3-server.sh FOLDER, with AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and BUCKET set; S3_PORT may be, and S3_HOST, an
# address on which others than this machine find it.
set -eu
folder=$1
: "${AWS_ACCESS_KEY_ID:?}" "${AWS_SECRET_ACCESS_KEY:?}" "${BUCKET:?}"
port=${S3_PORT:-9000}
umask 077
cat > "$folder/s3.json" <<JSON
{"identities": [{"name": "modeldiff", "actions": ["Admin", "Read", "List", "Tagging", "Write"],
  "credentials": [{"accessKey": "$AWS_ACCESS_KEY_ID", "secretKey": "$AWS_SECRET_ACCESS_KEY"}]}]}
JSON
# SeaweedFS's other ports give and take objects, and keys, without asking for one: all of it stays on loopback, and what
# others reach is S3 alone, passed on by socat.
if [ -n "${S3_HOST:-}" ]; then
    inside=$((port + 5))
    socat "TCP-LISTEN:$port,bind=$S3_HOST,reuseaddr,fork,backlog=128,nodelay" "TCP:127.0.0.1:$inside,nodelay" &
    port=$inside
fi
# Each port + 10000 is taken too. weed has the key from the file alone: it would log the name of one in its environment.
exec env -u AWS_ACCESS_KEY_ID -u AWS_SECRET_ACCESS_KEY weed -logtostderr mini "-dir=$folder" \
    -ip=127.0.0.1 -ip.bind=127.0.0.1 "-s3.port=$port" \
    "-master.port=$((port + 1))" "-volume.port=$((port + 2))" "-filer.port=$((port + 3))" "-admin.port=$((port + 4))" \
    -master.telemetry=false -webdav=false -admin.ui=false -s3.autoCreateBucket=false -s3.port.iceberg=0 \
    -s3.port.lance=0 "-s3.config=$folder/s3.json" "-bucket=$BUCKET"
