/* The floor under every row: nothing but mq_send and mq_receive between two processes.
 *
 *   rawmq stream   DEPTH SIZE COUNT            seconds from the first send to the last receive
 *   rawmq pingpong DEPTH SIZE COUNT CORE CORE  seconds for COUNT round trips, one process a core
 *
 * The queues are unlinked as soon as both processes have them open, so nothing can be left behind.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <mqueue.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static double now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

static mqd_t queue(const char *label, long depth, long size)
{
	char name[64];
	struct mq_attr shape = {.mq_maxmsg = depth, .mq_msgsize = size};
	snprintf(name, sizeof name, "/rawmq.%d.%s", (int)getpid(), label);
	mqd_t q = mq_open(name, O_RDWR | O_CREAT | O_EXCL, 0600, &shape);
	if (q == (mqd_t)-1)
		die("mq_open");
	mq_unlink(name);
	return q;
}

static void pin(int core)
{
	cpu_set_t set;
	CPU_ZERO(&set);
	CPU_SET(core, &set);
	if (sched_setaffinity(0, sizeof set, &set))
		die("sched_setaffinity");
}

static void put(mqd_t q, const char *buffer, long size)
{
	if (mq_send(q, buffer, size, 0))
		die("mq_send");
}

static void get(mqd_t q, char *buffer, long size)
{
	if (mq_receive(q, buffer, size, NULL) < 0)
		die("mq_receive");
}

int main(int count_arguments, char **arguments)
{
	if (count_arguments < 5)
		return 2;
	int pingpong = !strcmp(arguments[1], "pingpong");
	long depth = atol(arguments[2]), size = atol(arguments[3]), count = atol(arguments[4]);
	char *buffer = calloc(1, size);
	mqd_t there = queue("there", depth, size), back = pingpong ? queue("back", depth, size) : (mqd_t)-1;
	double *ended = mmap(NULL, sizeof *ended, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pid_t child = fork();
	if (child < 0)
		die("fork");
	if (!child) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (pingpong)
			pin(atoi(arguments[5]));
		for (long i = 0; i < count; i++) {
			get(there, buffer, size);
			if (pingpong)
				put(back, buffer, size);
		}
		*ended = now();
		_exit(0);
	}
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (pingpong)
		pin(atoi(arguments[6]));
	double start = now();
	for (long i = 0; i < count; i++) {
		put(there, buffer, size);
		if (pingpong)
			get(back, buffer, size);
	}
	double end = now();
	int status;
	waitpid(child, &status, 0);
	if (status)
		return 1;
	printf("%.9f\n", (pingpong ? end : *ended) - start);
	return 0;
}
