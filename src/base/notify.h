/* notify: tells the service manager how the process stands (sd_notify(3), without its library). */
#pragma once

/* Sends a state such as "READY=1" to $NOTIFY_SOCKET: a path, or an abstract name after '@'. Without the variable, or when nobody
 * listens, nothing happens: never waits. The socket stays open from the first call on, so that a later sandbox does not matter. Main thread. */
void fl_notify(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
