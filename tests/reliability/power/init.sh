#!/bin/sh
# Process 1 of the machine whose power is cut. PYCNI_SEED, PYCNI_TOLD (a file) and PYCNI_FSCK are of
# the kernel's command line. The root file system is the host's (hostfs), so whatever must not reach
# it is covered first; the disk that is cut is /var/lib/cni.
set -u
tree=$(cd "$(dirname "$0")/../../.." && pwd)
told=$(cat "$PYCNI_TOLD")
mount -t proc proc /proc
mount -t sysfs sys /sys
mount --bind "$tree" /mnt # the tree may be below one of these, and then is covered too
for directory in /run /tmp /var/tmp; do
    mount -t tmpfs none $directory
done
mkdir -p "$tree" && mount --bind /mnt "$tree"
mkdir -p /run/modules/lib # modprobe looks below lib/modules, and Debian has them elsewhere
ln -s /usr/lib/uml/modules /run/modules/lib/modules
for module in ipv6 veth bridge; do
    modprobe -d /run/modules $module
done
ip link set lo up
mknod /run/disk b 98 0 # ubda
PATH=/usr/sbin:/usr/bin:/sbin:/bin
[ -n "$PYCNI_FSCK" ] && e2fsck -f -y /run/disk >/dev/null
mount -t "$PYCNI_KIND" /run/disk /var/lib/cni || echo "the disk cannot be mounted"
cd "$tree" || exec halt -f -p
PYTHONPATH=$(echo plugins/* | tr ' ' :)
export PYTHONDONTWRITEBYTECODE=1 PYTHONPATH PATH HOME=/tmp
.venv/bin/python -m tests.reliability.power.machine "$PYCNI_SEED" "$told" 2>&1
echo "the machine ended with status $?"
exec halt -f -p
