#!/bin/sh
# udhcpc's script in a guest: takes the address, and prints the router's.
[ "$1" = bound ] || exit 0
# shellcheck disable=SC2154 # ip, mask, interface and router are udhcpc's
ip address add "$ip/$mask" dev "$interface" 2>/dev/null
# shellcheck disable=SC2154
echo "$router"
