/* confine: gives away what the process does not need, so that who gets into it gets little. Linux only; capabilities(7), seccomp(2).
 *
 * Three steps. At start: no new privileges, and of the capabilities only those that this program uses (ports below 1024, large socket
 * buffers, files that only root reads). Threads that answer: none at all. Once it serves: a filter that refuses (EPERM) every system call
 * that it does not need, in all threads: no programs, no other processes, no namespaces, no memory that is both written and run. */
#pragma once

void fl_confine_start(void);            /* before the first thread */
void fl_confine_thread(void);           /* by a thread itself */
/* By the main thread, once all is running: also drops what only starting needs. 0; -EPERM: programs are wanted; -ENOTSUP: this build
 * (sanitizers) or this machine has no filter; or what the kernel says. */
int fl_confine_serve(void);
/* By whoever will run programs (credential plugins of a kubeconfig), before fl_confine_serve(): then there is no filter, because a program
 * would inherit it. 0; -EPERM: too late, the filter is there. Main thread. */
int fl_confine_programs(void);
