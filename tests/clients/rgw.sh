#!/bin/sh
# Ceph's gateway for S3, for long runs beside LocalStack: another implementation, whose put-if-absent is decided by an object store of its
# own. It runs on loopback out of Debian's packages, which are unpacked below one folder and not installed; it needs apt-get, dpkg and Python 3.
#
#   rgw.sh start FOLDER    downloads what is missing (about 60 MB), starts it, prints the variables that name it
#   rgw.sh stop FOLDER     ends it; the packages stay for the next time
#   rgw.sh remove FOLDER   ends it and deletes the folder
#
# The objects are in memory and end with it. A run, with more kills than CI has:
#
#   eval "$(tests/clients/rgw.sh start ~/.cache/tidemark/rgw)"
#   TIDEMARK_S3_KILLS=200 TIDEMARK_BIN=target/quick/tidemark python -m pytest tests/clients/test_object_store.py
#   tests/clients/rgw.sh stop ~/.cache/tidemark/rgw
set -eu

usage() { sed -n '2,/^set -eu/{/^#/s/^# \{0,1\}//p}' "$0" >&2; exit 2; }
[ $# -eq 2 ] || usage
verb=$1
mkdir -p "$2"
folder=$(cd "$2" && pwd)
root=$folder/root run=$folder/run
libraries=$root/usr/lib/x86_64-linux-gnu
# How long each part may take until it answers.
wait_seconds=60

# What is unpacked is found by these, in the commands below alone.
in_root() {
    LD_LIBRARY_PATH=$libraries:$root/lib/x86_64-linux-gnu:$libraries/ceph:$root/usr/lib/ceph PATH=$root/usr/bin:$PATH \
        PYTHONPATH=$root/usr/lib/python3/dist-packages CEPH_CONF=$run/ceph.conf "$@"
}

unpack() {
    [ -e "$folder/unpacked" ] && return
    rm -rf "$root" "$folder/packages"
    mkdir -p "$root" "$folder/packages"
    names=$(apt-get install -s --no-install-recommends radosgw ceph-mon ceph-osd | sed -n 's/^Inst \([^ ]*\) .*/\1/p')
    (cd "$folder/packages" && apt-get -o APT::Sandbox::User=root -qq download $names)
    for package in "$folder"/packages/*.deb; do dpkg -x "$package" "$root"; done
    touch "$folder/unpacked"
}

# So many ports that were free a moment ago.
free_ports() {
    python3 -c "import socket, sys
held = [socket.create_server(('127.0.0.1', 0)) for _ in range(int(sys.argv[1]))]
print(*(it.getsockname()[1] for it in held))" "$1"
}

configure() {
    fsid=$(cat /proc/sys/kernel/random/uuid)
    cat > "$run/ceph.conf" <<CONF
[global]
fsid = $fsid
mon host = v2:127.0.0.1:$1/0,v1:127.0.0.1:$2/0
auth cluster required = cephx
auth service required = cephx
auth client required = cephx
keyring = $run/keyring
public network = 127.0.0.0/8
run dir = $run/var
admin socket = $run/var/\$name.\$pid.asok
log file = $run/log/\$name.log
plugin dir = $libraries/ceph
erasure code dir = $libraries/ceph/erasure-code
osd class dir = $libraries/rados-classes
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 8
mon allow pool size one = true
osd crush chooseleaf type = 0
mon_max_pg_per_osd = 1000
osd_pool_default_pg_autoscale_mode = off
mon data avail crit = 1
[osd.0]
osd data = $run/osd
osd objectstore = memstore
memstore device bytes = 2147483648
[client.admin]
rgw data = $run/rgw
rgw frontends = beast endpoint=127.0.0.1:$3
CONF
}

# A part of it in the background, with its id noted, so that `stop` ends this one and no other.
spawn() {
    name=$1
    shift
    in_root setsid sh -c 'echo $$ >> "$0"; exec "$@"' "$run/pids" "$@" > "$run/log/$name.out" 2>&1 &
}

# Until a command works.
await() {
    left=$wait_seconds
    until "$@" > "$run/log/await.out" 2>&1; do
        left=$((left - 1))
        [ "$left" -gt 0 ] || { echo "not after $wait_seconds s: $*; see $run/log" >&2; stop; exit 1; }
        sleep 1
    done
}

start() {
    stop
    unpack >&2
    rm -rf "$run"
    mkdir -p "$run/var" "$run/log" "$run/osd" "$run/rgw" "$run/mon"
    set -- $(free_ports 3)
    port=$3
    configure "$@"
    {
        in_root ceph-authtool --create-keyring "$run/keyring" --gen-key -n mon. --cap mon 'allow *'
        in_root ceph-authtool "$run/keyring" --gen-key -n client.admin --cap mon 'allow *' --cap osd 'allow *' --cap mgr 'allow *'
        in_root monmaptool --create --addv a "[v2:127.0.0.1:$1,v1:127.0.0.1:$2]" --fsid "$fsid" "$run/monmap"
        in_root ceph-mon -i a --mkfs --monmap "$run/monmap" --keyring "$run/keyring" --mon-data "$run/mon"
        cp "$run/keyring" "$run/mon/keyring"
        spawn mon ceph-mon -i a -f --mon-data "$run/mon"
        await in_root timeout 5 ceph status
        disk=$(cat /proc/sys/kernel/random/uuid)
        in_root ceph osd new "$disk"
        in_root ceph auth get-or-create osd.0 mon 'allow profile osd' osd 'allow *' -o "$run/osd/keyring"
        in_root ceph-osd -i 0 --mkfs --osd-uuid "$disk" --keyring "$run/osd/keyring"
        spawn osd ceph-osd -i 0 --keyring "$run/osd/keyring" -f
        await sh -c "'$0' osd-is-up '$folder' | grep -q '1 up'"
        spawn rgw radosgw -n client.admin -f
        in_root radosgw-admin user create --uid=test --display-name=test --access-key=test --secret-key=testtest
        await python3 -c "import socket; socket.create_connection(('127.0.0.1', $port), 1)"
    } >&2
    echo "export TIDEMARK_S3_ENDPOINT=http://127.0.0.1:$port AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=testtest"
}

stop() {
    [ -e "$run/pids" ] || return 0
    for pid in $(cat "$run/pids"); do
        # An id may have been given away since: only what was started for this folder is ended.
        if grep -qz "^CEPH_CONF=$run/ceph.conf$" "/proc/$pid/environ" 2> /dev/null; then kill -9 "$pid"; fi
    done
    rm -f "$run/pids"
}

case $verb in
    start) start ;;
    stop) stop ;;
    remove) stop; rm -rf "$folder" ;;
    osd-is-up) in_root timeout 5 ceph osd stat ;;
    *) usage ;;
esac
