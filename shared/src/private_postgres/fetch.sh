# Fetches PostgreSQL into the current folder and touches nothing else of the machine. No root needed.
# npm holds the archive to the checksum in package-lock.json, apt to the distribution's signature.
set -eu

with_npm() {
    npm ci --no-audit --no-fund --loglevel=error
}

with_apt() {
    export HOME="$PWD"
    mkdir -p apt/lists/partial apt/archives/partial
    apt_here() {
        apt-get -q -o Dir::State::lists="$PWD/apt/lists" -o Dir::Cache="$PWD/apt" -o Debug::NoLocking=1 \
            -o APT::Sandbox::User= -o Dir::State::status=/var/lib/dpkg/status "$@"
    }
    apt_here update
    # What a real installation would add to this machine, the server and its libraries.
    missing=$(apt_here --simulate --no-install-recommends install postgresql | sed -n 's/^Inst \([^ ]*\).*/\1/p')
    (cd apt && apt_here download $missing)
    for archive in apt/*.deb; do
        dpkg --extract "$archive" .
    done
    rm -r apt
}

if command -v npm >/dev/null; then
    with_npm && exit
fi
if command -v apt-get >/dev/null; then
    with_apt && exit
fi
exit 1
