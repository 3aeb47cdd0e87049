#!/bin/sh
# Gives this machine the Pythons that only Debian's unstable suite has, in a root folder of their own.
#
#   debian_root.sh prepare VERSION   makes the root (once) and installs that Python in it
#   debian_root.sh path              prints the root's path
#   debian_root.sh run COMMAND       runs a shell command in it
#
# Exit code 69 means that it cannot be had here; what is printed on stdout says why. Mirror, proxies,
# certificates and pip's settings are those of this machine. The root's mounts live in a namespace
# of their own and end with the command: nothing is left mounted, and the folder may be removed.
set -eu
root=${XDG_CACHE_HOME:-$HOME/.cache}/sovdev-logger/debian-unstable
UNAVAILABLE=69

unavailable() {
  echo "$1"
  exit $UNAVAILABLE
}

prepare() {
  [ "$(id -u)" = 0 ] || unavailable "a Debian root needs the rights of root"
  unshare --mount --pid --fork true 2>/dev/null || unavailable "this machine allows no mount namespace"
  [ -e "$root/etc/debian_version" ] || make_root
  carry_settings
  chroot "$root" "python$1" -c "import ensurepip" 2>/dev/null || install_python "$1"
}

make_root() {
  command -v debootstrap >/dev/null || unavailable "debootstrap is not installed"
  mirror=$(apt-get indextargets --format '$(SITE)' "Created-By: Packages" "Origin: Debian" \
    "Component: main" 2>/dev/null | head -n 1)
  [ -n "$mirror" ] || unavailable "this machine's apt has no Debian mirror"
  echo "making a root of Debian's unstable suite, once, in $root" >&2
  rm -rf "$root.partial"
  mkdir -p "$root.partial"
  debootstrap --variant=minbase --include=ca-certificates unstable "$root.partial" "$mirror" \
    >"$root.log" 2>&1 || unavailable "debootstrap failed: $(tail -n 1 "$root.log")"
  mv "$root.partial" "$root"
}

carry_settings() {
  cp -L /etc/resolv.conf /etc/hosts "$root/etc/"
  apt-config dump | grep -E '^Acquire::(http|https|Check-)' >"$root/etc/apt/apt.conf.d/90machine" || true
  for file in /etc/ssl/certs/ca-certificates.crt /etc/pip.conf "${PIP_CERT:-}" "${PIP_CONFIG_FILE:-}" \
    "$HOME/.config/pip/pip.conf" "$HOME/.pip/pip.conf"; do
    if [ -f "$file" ]; then
      mkdir -p "$root$(dirname "$file")"
      cp -L "$file" "$root$file"
    fi
  done
  for folder in ${PIP_FIND_LINKS:-}; do
    if [ -d "$folder" ]; then
      mkdir -p "$root$folder"
      cp -RL "$folder/." "$root$folder"
    fi
  done
}

install_python() {
  run "apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends python$1-venv" \
    >"$root.log" 2>&1 || unavailable "its unstable suite cannot install it: $(tail -n 1 "$root.log")"
}

run() {
  ROOT=$root unshare --mount --pid --fork --kill-child sh -euc '
    mount -t proc proc "$ROOT/proc"
    mount --rbind /dev "$ROOT/dev"
    mount -t tmpfs tmpfs "$ROOT/dev/shm"
    exec chroot "$ROOT" /bin/sh -euc "$1"' sh "$1"
}

case $1 in
  path) echo "$root" ;;
  prepare | run) "$@" ;;
esac
