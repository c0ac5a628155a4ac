/* cpus: how many shards this process should run. */
#pragma once

/* GOMAXPROCS when it is set to a positive number, else the cgroup's cpu.max (or cfs quota) rounded up, else the affinity mask; 1..16. */
unsigned fl_cpus(void);
