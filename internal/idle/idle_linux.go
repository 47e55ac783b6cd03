package idle

import "golang.org/x/sys/unix"

// niceness leaves a thread about a tenth of a processor that others want to themselves
// (sched(7): every step of it is worth a factor of 1.25), so that keys are made, slowly,
// even then.
const niceness = 10

// giveWay lowers the priority of the thread. Where that is not allowed, it stays.
func giveWay() { _ = unix.Setpriority(unix.PRIO_PROCESS, unix.Gettid(), niceness) }
