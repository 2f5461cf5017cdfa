# For the shell that is process 1 of User-Mode-Linux: sets the stage, and goes to the tree.
# The root file system is the host's (hostfs), so whatever must not reach it is covered first.
# What reads this is in a directory two below the tree's.
tree=$(cd "$(dirname "$0")/../.." && pwd)
mount -t proc proc /proc
mount -t sysfs sys /sys
mount --bind "$tree" /mnt # the tree may be below one of these, and then is covered too
for directory in /run /tmp /var/tmp /var/lib/cni; do
    [ -d $directory ] && mount -t tmpfs none $directory
done
mkdir -p "$tree" && mount --bind /mnt "$tree"
mkdir -p /run/modules/lib # modprobe looks below lib/modules, and Debian has them elsewhere
ln -s /usr/lib/uml/modules /run/modules/lib/modules
for module in ipv6 veth bridge 8021q ipvlan macvlan dummy tun vrf nf_tables; do
    modprobe -d /run/modules $module
done
ip link set lo up
export PYTHONDONTWRITEBYTECODE=1 PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/tmp
cd "$tree" || exec halt -f -p
