//! What a process that somebody else has taken over would try.

use std::ffi::CString;
use std::fs::{self, File};
use std::io::{self, IoSlice, IoSliceMut, Read};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{SocketAddr, UnixStream};
use std::process::Command;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::ptrace;
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::{Signal, kill};
use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};
use nix::sys::uio::{RemoteIoVec, process_vm_readv, process_vm_writev};
use nix::unistd::{Gid, Pid, Uid, chroot, execv, setgroups, setresgid, setresuid};
use rustix::mount::MountFlags;
use rustix::net::{AddressFamily, SocketType};
use rustix::process::{PidfdFlags, PidfdGetfdFlags};
use rustix::thread::UnshareFlags;

/// Makes one attempt: done, or how the kernel refused.
pub fn attempt(words: &[&str]) -> Result<(), Errno> {
    match *words {
        ["read", path] => {
            let mut octets = [0; 64];
            let read = io(File::open(path).and_then(|mut file| file.read(&mut octets)))?;
            if read == 0 {
                Err(Errno::ENODATA)
            } else {
                Ok(())
            }
        }
        ["list", path] => {
            io(fs::read_dir(path).and_then(|mut list| list.next().transpose())).map(drop)
        }
        ["link-of", path] => io(fs::read_link(path)).map(drop),
        ["write", path] => io(File::options()
            .write(true)
            .create(true)
            .truncate(false)
            .open(path))
        .map(drop),
        ["unlink", path] => io(fs::remove_file(path)),
        ["rename", from, to] => io(fs::rename(from, to)),
        ["mkdir", path] => io(fs::create_dir(path)),
        ["hard-link", from, to] => io(fs::hard_link(from, to)),
        ["symlink", from, to] => io(std::os::unix::fs::symlink(from, to)),
        ["chmod", path] => io(fs::set_permissions(path, fs::Permissions::from_mode(0o777))),
        ["chroot", path] => chroot(path),
        ["ptrace", pid] => ptrace::attach(process(pid)?),
        ["seize", pid] => ptrace::seize(process(pid)?, ptrace::Options::empty()),
        ["vm-read", pid] => {
            let from = [RemoteIoVec { base: 4096, len: 1 }];
            process_vm_readv(process(pid)?, &mut [IoSliceMut::new(&mut [0])], &from).map(drop)
        }
        ["vm-write", pid] => {
            let to = [RemoteIoVec { base: 4096, len: 1 }];
            process_vm_writev(process(pid)?, &[IoSlice::new(&[0])], &to).map(drop)
        }
        ["pidfd-getfd", pid] => {
            let pid = pidfd(pid)?;
            rustix(rustix::process::pidfd_getfd(
                &pid,
                0,
                PidfdGetfdFlags::empty(),
            ))
            .map(drop)
        }
        ["pidfd-kill", pid] => {
            let pid = pidfd(pid)?;
            rustix(rustix::process::pidfd_send_signal(
                &pid,
                rustix::process::Signal::KILL,
            ))
        }
        ["kill", pid, signal] => {
            let signal = match signal.parse().unwrap_or(0) {
                0 => None,
                number => Some(Signal::try_from(number)?),
            };
            kill(process(pid)?, signal)
        }
        ["tcp", address] => io(TcpStream::connect(address)).map(drop),
        ["udp", address] => {
            io(UdpSocket::bind("127.0.0.1:0").and_then(|socket| socket.send_to(b"x", address)))
                .map(drop)
        }
        ["abstract", name] => {
            let address = io(SocketAddr::from_abstract_name(name))?;
            io(UnixStream::connect_addr(&address)).map(drop)
        }
        ["unix", path] => io(UnixStream::connect(path)).map(drop),
        ["bind"] => io(TcpListener::bind("127.0.0.1:0")).map(drop),
        // The kernel chooses a port, without bind.
        ["listen"] => {
            let socket = rustix(rustix::net::socket(
                AddressFamily::INET,
                SocketType::STREAM,
                None,
            ))?;
            rustix(rustix::net::listen(&socket, 1))
        }
        ["raw-socket"] => {
            let socket = rustix::net::socket(
                AddressFamily::INET,
                SocketType::RAW,
                Some(rustix::net::ipproto::ICMP),
            );
            rustix(socket).map(drop)
        }
        ["netlink"] => rustix(rustix::net::socket(
            AddressFamily::NETLINK,
            SocketType::RAW,
            None,
        ))
        .map(drop),
        ["exec", path] => {
            let path = CString::new(path).map_err(|_| Errno::EINVAL)?;
            execv(&path, &[c"sh", c"-c", c"exit 1"]).map(drop)
        }
        ["spawn", path] => io(Command::new(path).arg("-c").arg("exit").spawn()).map(drop),
        ["thread"] => {
            // Waited for: one that ends after the list of calls is there would be ended for that.
            io(std::thread::Builder::new().spawn(|| std::thread::sleep(Duration::from_millis(1))))
                .map(|thread| drop(thread.join()))
        }
        ["exec-memory"] => {
            let memory = io(memmap2::MmapMut::map_anon(4096))?;
            io(memory.make_exec()).map(drop)
        }
        ["setuid", id] => {
            let id = Uid::from_raw(number(id)?);
            setresuid(id, id, id)
        }
        ["setgid", id] => {
            let id = Gid::from_raw(number(id)?);
            setresgid(id, id, id)
        }
        ["setgroups", id] => setgroups(&[Gid::from_raw(number(id)?)]),
        #[allow(deprecated)] // nothing here relies on its descriptors
        ["unshare"] => rustix(rustix::thread::unshare(UnshareFlags::NEWUSER)),
        ["mount", path] => rustix(rustix::mount::mount(
            "none",
            path,
            "tmpfs",
            MountFlags::empty(),
            None,
        )),
        ["rlimit"] => setrlimit(Resource::RLIMIT_CORE, u64::MAX, u64::MAX),
        ["memfd"] => rustix(rustix::fs::memfd_create(
            "x",
            rustix::fs::MemfdFlags::CLOEXEC,
        ))
        .map(drop),
        ["dumpable"] => nix::sys::prctl::set_dumpable(true),
        ["hand-descriptor"] => {
            // One of an open frame's four octets of length, and a descriptor beside it: the signer takes the octet only.
            let own = [1];
            let beside = [ControlMessage::ScmRights(&own)];
            sendmsg::<()>(
                1,
                &[IoSlice::new(&[0])],
                &beside,
                MsgFlags::MSG_NOSIGNAL,
                None,
            )
            .map(drop)
        }
        _ => Err(Errno::ENOTSUP),
    }
}

fn io<T>(result: io::Result<T>) -> Result<T, Errno> {
    result.map_err(|error| Errno::from_raw(error.raw_os_error().unwrap_or(0)))
}

fn rustix<T>(result: rustix::io::Result<T>) -> Result<T, Errno> {
    result.map_err(|error| Errno::from_raw(error.raw_os_error()))
}

fn number(text: &str) -> Result<u32, Errno> {
    text.parse().map_err(|_| Errno::ENOTSUP)
}

fn process(pid: &str) -> Result<Pid, Errno> {
    match pid.parse() {
        Ok(pid) if pid > 1 => Ok(Pid::from_raw(pid)),
        Ok(_) | Err(_) => Err(Errno::ENOTSUP),
    }
}

fn pidfd(pid: &str) -> Result<std::os::fd::OwnedFd, Errno> {
    let pid = rustix::process::Pid::from_raw(process(pid)?.as_raw()).ok_or(Errno::ENOTSUP)?;
    rustix(rustix::process::pidfd_open(pid, PidfdFlags::empty()))
}
