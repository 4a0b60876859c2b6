#!/usr/bin/env bash
# Builds the Debian package: packaging/build-deb.sh [OUTPUT_DIRECTORY]
#
# dpkg-deb alone, no debhelper: the package is one binary, one unit and one configuration file. What a debhelper
# package would do at install time is written out in packaging/postinst, prerm and postrm.
#
#   BELFRY_BIN          package this binary instead of building target/release/belfry
#   SOURCE_DATE_EPOCH   the time in the package; by default that of the last commit, so the same commit and the same
#                       binary give the same bytes
#   DEB_REVISION        Debian revision, 1 by default
#   DEB_MAINTAINER      "Name <address>" in the control file
#
# Needs: dpkg-dev. The last line printed is the path of the package.
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
out=$(realpath -m "${1:-$root/target/debian}")
umask 022
export LC_ALL=C.UTF-8 TZ=UTC

if [ -z "${BELFRY_BIN:-}" ]; then
    (cd "$root" && cargo build --release --locked --bin belfry)
    BELFRY_BIN=$root/target/release/belfry
fi
[ -x "$BELFRY_BIN" ] || { echo "build-deb: no program at $BELFRY_BIN" >&2; exit 1; }
for tool in dpkg-deb dpkg-shlibdeps; do
    command -v "$tool" >/dev/null || { echo "build-deb: $tool is missing (apt-get install dpkg-dev)" >&2; exit 1; }
done

if [ -z "${SOURCE_DATE_EPOCH:-}" ]; then
    SOURCE_DATE_EPOCH=$(git -C "$root" log -1 --format=%ct 2>/dev/null || stat -c %Y "$root/CHANGELOG.md")
fi
export SOURCE_DATE_EPOCH

upstream=$(sed -n 's/^version = "\(.*\)"/\1/p' "$root/Cargo.toml" | head -1)
# A SemVer pre-release sorts before its release in Debian only behind a tilde.
version=${upstream/-/\~}-${DEB_REVISION:-1}
arch=$(dpkg --print-architecture)
maintainer=${DEB_MAINTAINER:-Belfry maintainers <maintainers@belfry.invalid>}

stage=$(mktemp -d)
trap 'rm -rf "$stage"' EXIT
tree=$stage/tree
docs=$tree/usr/share/doc/belfry
install -d "$tree/DEBIAN" "$docs" "$tree/etc/belfry"
install -Dm755 "$BELFRY_BIN" "$tree/usr/bin/belfry"
install -Dm644 "$root/systemd/belfry.service" "$tree/usr/lib/systemd/system/belfry.service"
install -Dm644 "$root/systemd/belfry.sysusers.conf" "$tree/usr/lib/sysusers.d/belfry.conf"

# Our own program in a clean environment: it would read its configuration from ours.
belfry() { timeout 20 env -i PATH="$PATH" "$BELFRY_BIN" "$@" </dev/null; }

# The configuration is what the program itself calls its defaults; a program too young to say so gets the stub.
config=$tree/etc/belfry/belfry.toml
if belfry config init >"$config" 2>/dev/null && [ -s "$config" ]; then
    belfry config check --config "$config" >&2 ||
        { echo "build-deb: the program refuses its own default configuration" >&2; exit 1; }
else
    cp "$root/packaging/belfry.toml" "$config"
fi
# It may come to hold passwords; postinst gives it to the group of the server.
chmod 640 "$config"

# The manual and what shells complete are what the program itself says of its command line.
man=$tree/usr/share/man/man1
belfry man --dir "$man" >&2
gzip -9n "$man"/*.1
completions() { install -d "$(dirname "$tree/$2")" && belfry completions "$1" >"$tree/$2"; }
completions bash usr/share/bash-completion/completions/belfry
completions zsh usr/share/zsh/vendor-completions/_belfry
completions fish usr/share/fish/vendor_completions.d/belfry.fish

cp "$root/packaging/copyright" "$docs/copyright"
gzip -9n <"$root/CHANGELOG.md" >"$docs/changelog.gz"
gzip -9n >"$docs/changelog.Debian.gz" <<CHANGES
belfry ($version) unstable; urgency=medium

  * Release $upstream; /usr/share/doc/belfry/changelog.gz says what changed.

 -- $maintainer  $(date -R -d "@$SOURCE_DATE_EPOCH")
CHANGES
chmod 644 "$docs"/*

# dpkg-shlibdeps wants a source package around it.
install -d "$stage/source/debian"
printf 'Source: belfry\n\nPackage: belfry\nArchitecture: any\n' >"$stage/source/debian/control"
libraries=$(cd "$stage/source" && dpkg-shlibdeps -O "$tree/usr/bin/belfry" 2>/dev/null | sed -n 's/^shlibs:Depends=//p')
[ -n "$libraries" ] || { echo "build-deb: dpkg-shlibdeps found no libraries" >&2; exit 1; }

cat >"$tree/DEBIAN/control" <<CONTROL
Package: belfry
Version: $version
Architecture: $arch
Maintainer: $maintainer
Installed-Size: $(du -sk --apparent-size --exclude=DEBIAN "$tree" | cut -f1)
Depends: $libraries, ca-certificates, init-system-helpers (>= 1.54~), procps, systemd (>= 252)
Section: net
Priority: optional
Description: notification server for one machine
 Belfry takes events over HTTP and delivers them to people: to an inbox in the
 browser while they look, to their mailbox when they do not, by the preferences
 and quiet hours of each of them.
 .
 What it has accepted is on disk before it answers. It is one program with its
 own store and needs no database, broker or cache beside it.
CONTROL
echo /etc/belfry/belfry.toml >"$tree/DEBIAN/conffiles"
install -m755 -t "$tree/DEBIAN" "$root"/packaging/{postinst,prerm,postrm}
(cd "$tree" && find usr -type f -print0 | sort -z | xargs -0 md5sum) >"$tree/DEBIAN/md5sums"

find "$tree" -print0 | xargs -0 touch --no-dereference --date="@$SOURCE_DATE_EPOCH"
mkdir -p "$out"
deb=$out/belfry_${version}_$arch.deb
dpkg-deb --root-owner-group --uniform-compression -Zxz --build "$tree" "$deb" >&2
echo "$deb"
