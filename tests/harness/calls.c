/* Tries system calls under a seccomp program, each in a process of its own: usage: calls PROGRAM, and on standard input a
   call a line: number and three arguments. Answers each with "killed", "enosys", "returned", or what else happened. */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

int main(int argc, char **argv) {
    static struct sock_filter filter[4096];
    FILE *file = argc == 2 ? fopen(argv[1], "r") : NULL;
    if (!file) return 2;
    struct sock_fprog program = {fread(filter, sizeof *filter, 4096, file), filter};
    long number, a, b, c;
    while (scanf("%ld %ld %ld %ld", &number, &a, &b, &c) == 4) {
        pid_t child = fork();
        if (child == 0) {
            if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)) _exit(3);
            if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &program)) _exit(4);
            long got = syscall(number, a, b, c, -1L, 0L, 0L);
            _exit(got == -1 && errno == ENOSYS ? 1 : 0);
        }
        int status = 0;
        if (child < 0 || waitpid(child, &status, 0) != child) return 5;
        const char *names[] = {"returned", "enosys"};
        if (WIFSIGNALED(status) && WTERMSIG(status) == 31) puts("killed");
        else if (WIFEXITED(status) && WEXITSTATUS(status) < 2) puts(names[WEXITSTATUS(status)]);
        else printf("status %x\n", status);
    }
    return 0;
}
