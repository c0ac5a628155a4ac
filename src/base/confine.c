#include "base/confine.h"
#include <errno.h>
#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef FL_CONFINE_REFUSE
#define FL_CONFINE_REFUSE (SECCOMP_RET_ERRNO | EPERM)   /* SECCOMP_RET_KILL_PROCESS, to find out what is missing below */
#endif

#if defined __has_feature
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
#define SANITIZED 1     /* their run time needs more */
#endif
#endif
#if defined __SANITIZE_ADDRESS__ || defined __SANITIZE_THREAD__
#define SANITIZED 1
#endif

#if defined __x86_64__
#define ARCH AUDIT_ARCH_X86_64
#elif defined __aarch64__
#define ARCH AUDIT_ARCH_AARCH64
#elif defined __riscv && __riscv_xlen == 64
#define ARCH AUDIT_ARCH_RISCV64
#endif

static bool programs, filtered;

/* ---- capabilities ---- */

#define BIT(cap) (1ull << (cap))
#define STARTING (SERVING | BIT(CAP_NET_ADMIN))         /* SO_RCVBUFFORCE of the listeners */
#define SERVING (BIT(CAP_NET_BIND_SERVICE) | BIT(CAP_DAC_READ_SEARCH))

static void keep(uint64_t caps)
{
	struct __user_cap_header_struct head = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct data[2];
	if (syscall(SYS_capget, &head, data))
		return;
	for (int i = 0; i < 2; i++) {
		uint32_t mask = (uint32_t)(caps >> 32 * i);
		data[i].permitted &= mask;
		data[i].effective &= mask;
		data[i].inheritable = 0;
	}
	syscall(SYS_capset, &head, data);
}

void fl_confine_start(void)
{
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	for (int cap = 0; cap <= CAP_LAST_CAP; cap++)           /* refused to who is not root: nothing to drop then */
		if (!(STARTING & BIT(cap)))
			prctl(PR_CAPBSET_DROP, cap, 0, 0, 0);
	prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
	keep(STARTING);
}

void fl_confine_thread(void) { keep(0); }

/* ---- the filter ---- */

#ifdef ARCH

/* What a running server calls, most often first (kernels before 5.11 read the list for each call). */
static const uint16_t allowed[] = {
	SYS_recvmmsg, SYS_sendmmsg, SYS_epoll_pwait, SYS_ppoll, SYS_sendmsg, SYS_recvmsg, SYS_sendto, SYS_recvfrom, SYS_read, SYS_write, SYS_futex,
#ifdef SYS_epoll_wait
	SYS_epoll_wait,
#endif
#ifdef SYS_poll
	SYS_poll,
#endif
	/* sockets */
	SYS_connect, SYS_accept4, SYS_accept, SYS_bind, SYS_listen, SYS_shutdown, SYS_getsockname, SYS_getpeername, SYS_setsockopt, SYS_getsockopt,
	SYS_epoll_ctl, SYS_epoll_create1, SYS_eventfd2, SYS_timerfd_create, SYS_timerfd_settime, SYS_timerfd_gettime, SYS_signalfd4, SYS_pipe2,
#ifdef SYS_epoll_pwait2
	SYS_epoll_pwait2,
#endif
	/* files */
	SYS_openat, SYS_close, SYS_readv, SYS_writev, SYS_pread64, SYS_pwrite64, SYS_lseek, SYS_fstat, SYS_newfstatat, SYS_statx, SYS_fcntl, SYS_ioctl,
	SYS_faccessat, SYS_readlinkat, SYS_getdents64, SYS_getcwd, SYS_unlinkat, SYS_dup, SYS_dup3, SYS_fstatfs, SYS_statfs, SYS_inotify_init1,
	SYS_inotify_add_watch, SYS_inotify_rm_watch, SYS_fsync, SYS_renameat2,
	SYS_mkdirat,
#ifdef SYS_renameat
	SYS_renameat,
#endif
#ifdef SYS_faccessat2
	SYS_faccessat2,
#endif
#ifdef SYS_close_range
	SYS_close_range,
#endif
#ifdef SYS_open
	SYS_open, SYS_stat, SYS_lstat, SYS_access, SYS_readlink, SYS_unlink, SYS_rename, SYS_mkdir, SYS_dup2,
#endif
	/* memory */
	SYS_munmap, SYS_mremap, SYS_madvise, SYS_brk, SYS_membarrier,
	/* threads and signals */
	SYS_exit, SYS_exit_group, SYS_set_robust_list, SYS_get_robust_list, SYS_set_tid_address, SYS_sched_yield, SYS_sched_getaffinity, SYS_rt_sigaction,
	SYS_rt_sigprocmask, SYS_rt_sigreturn, SYS_rt_sigtimedwait, SYS_sigaltstack, SYS_tgkill, SYS_restart_syscall,
#ifdef SYS_rseq
	SYS_rseq,
#endif
#ifdef SYS_futex_waitv
	SYS_futex_waitv,
#endif
	/* what it is, what time it is */
	SYS_getpid, SYS_getppid, SYS_gettid, SYS_getuid, SYS_geteuid, SYS_getgid, SYS_getegid, SYS_uname, SYS_sysinfo, SYS_prlimit64, SYS_getrusage,
	SYS_getrandom, SYS_capget, SYS_capset, SYS_clock_gettime, SYS_clock_getres, SYS_clock_nanosleep, SYS_nanosleep, SYS_gettimeofday, SYS_times,
#ifdef SYS_getrlimit
	SYS_getrlimit,
#endif
#ifdef SYS_time
	SYS_time,
#endif
};

enum { ROOM = 512 };
struct code { struct sock_filter op[ROOM]; unsigned short n; };

static void put(struct code *c, uint16_t code, uint32_t k, uint8_t yes, uint8_t no)
{
	c->op[c->n++] = (struct sock_filter){ code, yes, no, k };
}

#define ARG(n) ((uint32_t)offsetof(struct seccomp_data, args[n]))      /* the low half: both architectures are little-endian */
#define LOAD (BPF_LD | BPF_W | BPF_ABS)
#define EQUAL (BPF_JMP | BPF_JEQ | BPF_K)
#define RETURN (BPF_RET | BPF_K)
#define NUMBER ((uint32_t)offsetof(struct seccomp_data, nr))

/* nr is answered by: (argument & mask) is one of values, n of them. Then the number is loaded again for who comes next. */
static void one_of(struct code *c, uint32_t nr, unsigned arg, uint32_t mask, const uint32_t *values, uint8_t n, uint32_t yes, uint32_t no)
{
	put(c, EQUAL, nr, 0, (uint8_t)(n + 4));
	put(c, LOAD, ARG(arg), 0, 0);
	put(c, BPF_ALU | BPF_AND | BPF_K, mask, 0, 0);
	for (uint8_t i = 0; i < n; i++)
		put(c, EQUAL, values[i], (uint8_t)(n - i), 0);
	put(c, RETURN, no, 0, 0);
	put(c, RETURN, yes, 0, 0);
}

static void build(struct code *c)
{
	static const uint32_t families[] = { AF_INET, AF_INET6, AF_UNIX, AF_NETLINK }, thread[] = { CLONE_VM | CLONE_THREAD };
	static const uint32_t own[] = { PR_SET_NAME, 0x53564d41 /* PR_SET_VMA: malloc names its memory */ };
	static const uint32_t both[] = { PROT_WRITE | PROT_EXEC };
	const uint32_t allow = SECCOMP_RET_ALLOW, refuse = FL_CONFINE_REFUSE;
	c->n = 0;
	put(c, LOAD, (uint32_t)offsetof(struct seccomp_data, arch), 0, 0);
	put(c, EQUAL, ARCH, 1, 0);
	put(c, RETURN, SECCOMP_RET_KILL_PROCESS, 0, 0);
	put(c, LOAD, NUMBER, 0, 0);
	for (unsigned i = 0; i < sizeof allowed / sizeof *allowed; i++) {
		put(c, EQUAL, allowed[i], 0, 1);
		put(c, RETURN, allow, 0, 0);
	}
	one_of(c, SYS_socket, 0, UINT32_MAX, families, 4, allow, refuse);
	one_of(c, SYS_clone, 0, CLONE_VM | CLONE_THREAD, thread, 1, allow, refuse);
	one_of(c, SYS_mmap, 2, PROT_WRITE | PROT_EXEC, both, 1, refuse, allow);
	one_of(c, SYS_mprotect, 2, PROT_WRITE | PROT_EXEC, both, 1, refuse, allow);
	one_of(c, SYS_prctl, 0, UINT32_MAX, own, 2, allow, refuse);
#ifdef SYS_clone3
	put(c, EQUAL, SYS_clone3, 0, 1);        /* its flags cannot be seen: the C library takes clone() then */
	put(c, RETURN, SECCOMP_RET_ERRNO | ENOSYS, 0, 0);
#endif
	put(c, RETURN, refuse, 0, 0);
}

static int filter(void)
{
	struct code c;
	build(&c);
	struct sock_fprog prog = { c.n, c.op };
	long ret = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC | SECCOMP_FILTER_FLAG_LOG, &prog);
	return ret < 0 ? -errno : ret ? -ESRCH : 0;
}

#else
static int filter(void) { return -ENOTSUP; }
#endif

int fl_confine_serve(void)
{
	keep(SERVING);
	if (programs)
		return -EPERM;
#ifdef SANITIZED
	return -ENOTSUP;
#endif
	int ret = filter();
	filtered = !ret;
	return ret;
}

int fl_confine_programs(void)
{
	if (filtered)
		return -EPERM;
	programs = true;
	return 0;
}
