# Turns fresh namespaces into a small machine and starts systemd as its process 1.
#
# $1: the machine's disk; $2: the program.
# Everything else is read-only or in memory, so nothing of the computer that runs this can change; process 1 gets no journal, no
# udev, no D-Bus and no units but those on the disk.
set -e
disk=$1
program=$2
root=$disk/root
mkdir -p "$root"
mount -t tmpfs -o mode=755 tmpfs "$root"
cd "$root"
mkdir -p usr proc sys dev run tmp old etc var home srv mnt sbin root
for link in bin lib lib32 lib64 libx32; do
    if [ -L /$link ]; then ln -s "usr/$link" $link; elif [ -d /$link ]; then mkdir $link; mount --bind -o ro /$link $link; fi
done
mount --bind /usr usr
mount -o remount,bind,ro usr
mount -t tmpfs -o mode=755 tmpfs usr/local
mkdir usr/local/bin
touch usr/local/bin/proxyfs
mount --bind "$program" usr/local/bin/proxyfs
for dir in etc var home srv mnt sbin; do mount --bind "$disk/$dir" $dir; done
# The certificates that every system has; a client of a store begins with them.
mkdir -p etc/ssl/certs
cp /etc/ssl/certs/ca-certificates.crt etc/ssl/certs/
mount -t tmpfs -o mode=755 tmpfs run
mount -t tmpfs -o mode=1777 tmpfs tmp
mount -t proc proc proc
mount --bind proc/sys proc/sys
mount -o remount,bind,ro proc/sys
mount -t sysfs -o ro sysfs sys
mount -t cgroup2 cgroup2 sys/fs/cgroup
mount -t tmpfs -o mode=755 tmpfs dev
mknod -m 666 dev/null c 1 3
mknod -m 666 dev/zero c 1 5
mknod -m 666 dev/full c 1 7
mknod -m 666 dev/random c 1 8
mknod -m 666 dev/urandom c 1 9
mknod -m 666 dev/tty c 5 0
mknod -m 666 dev/fuse c 10 229
mknod -m 600 dev/autofs c 10 235
mkdir dev/pts dev/shm
mount -t devpts -o newinstance,ptmxmode=666 devpts dev/pts
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd
mount -t tmpfs -o mode=1777 tmpfs dev/shm
pivot_root . old
umount -l /old
cd /
# As every booted system has it: what systemd mounts in passing for a unit, such as its credentials, is seen by all. Shared within
# this machine only.
mount --make-rshared /
exec env -i PATH=/usr/sbin:/usr/bin container=proxyfs-test \
    SYSTEMD_UNIT_PATH=/etc/systemd/system:/run/systemd/system:/run/systemd/generator \
    "$(readlink -f /lib/systemd/systemd)" --system --unit=multi-user.target --show-status=no --log-target=console --log-color=no
