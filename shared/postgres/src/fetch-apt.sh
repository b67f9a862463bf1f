# shellcheck shell=sh disable=SC2086,SC2103,SC2164 # run by `sh -eu`, and $missing is a list
# Fetches PostgreSQL into the current folder and changes nothing else on the machine. Needs no root.
# apt verifies the packages by the distribution's signature.
root=$PWD
export HOME="$root"

apt_here() {
    apt-get -q -o Dir::State::lists="$root/apt/lists" -o Dir::Cache="$root/apt" -o Debug::NoLocking=1 \
        -o APT::Sandbox::User= -o Dir::State::status=/var/lib/dpkg/status "$@"
}

mkdir -p apt/lists/partial apt/archives/partial
apt_here update
apt_here --simulate --no-install-recommends install postgresql >apt/plan
# The packages that an installation would add: the server and its libraries, without those of its JIT compiler.
missing=$(sed -nE 's/^Inst (postgresql-[0-9]+|lib[^ ]+) \(.*/\1/p' apt/plan | grep -vE 'llvm|z3|perl')
cd apt
apt_here download $missing
cd ..
for archive in apt/*.deb; do
    dpkg --extract "$archive" .
done
rm -r apt
