/* process: the process_* families of the Go client, read from /proc before each exposition. */
#pragma once

/* Once; again does nothing. Main thread. */
void fl_process_metrics(void);
