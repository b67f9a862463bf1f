# Fetches PostgreSQL into the current folder and touches nothing else of the machine. No root needed.
# npm holds the archive to the checksum in package-lock.json, apt to the distribution's signature.
set -eu
root=$PWD

with_npm() {
    npm ci --no-audit --no-fund --loglevel=error
}

apt_here() {
    apt-get -q -o Dir::State::lists="$root/apt/lists" -o Dir::Cache="$root/apt" -o Debug::NoLocking=1 \
        -o APT::Sandbox::User= -o Dir::State::status=/var/lib/dpkg/status "$@"
}

with_apt() {
    export HOME="$root"
    mkdir -p apt/lists/partial apt/archives/partial
    apt_here update
    # Of what an installation would add to this machine: the server and its libraries, without those of its JIT compiler.
    missing=$(apt_here --simulate --no-install-recommends install postgresql |
        sed -nE 's/^Inst (postgresql-[0-9]+|lib[^ ]+) \(.*/\1/p' | grep -vE 'llvm|z3|perl')
    cd apt
    apt_here download $missing
    cd ..
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
