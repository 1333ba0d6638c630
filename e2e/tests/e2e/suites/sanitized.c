#include <limits.h>
#include <pthread.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
extern char **environ;
static int shared, kept;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static void *work(void *racing) {
    for (int i = 0; i < 1000; i++) {
        if (!racing) pthread_mutex_lock(&lock);
        shared++;
        if (!racing) pthread_mutex_unlock(&lock);
    }
    return NULL;
}
static void threads(void *racing) {
    pthread_t both[2];
    for (int i = 0; i < 2; i++) pthread_create(&both[i], NULL, work, racing);
    for (int i = 0; i < 2; i++) pthread_join(both[i], NULL);
}
static int start(char **words) {
    pid_t child; int status;
    if (posix_spawn(&child, words[0], NULL, NULL, words, environ)) return -1;
    return waitpid(child, &status, 0) == child && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}
int main(int count, char **words) {
    char *fault = count > 1 ? words[1] : "";
    char *volatile some = malloc(10);
    volatile int most = INT_MAX;
    strcpy(some, "some");
    if (!strcmp(fault, "address")) some[count + 8] = 1;
    if (!strcmp(fault, "undefined")) kept = most + 1;
    if (!strcmp(fault, "leak")) { some = malloc(42); some = NULL; return 0; }
    threads(!strcmp(fault, "thread") ? some : NULL);
    free(some);
    if (*fault) return 0;
    char *all[] = {"", "address", "undefined", "leak", "thread"};
    printf("test threads ... %s\n", shared == 2000 ? "ok" : "FAILED");
    for (int i = 1; i < 5; i++) {
        char *own[] = {words[0], all[i], NULL};
        printf("test child %s came to %d ... ok\n", all[i], start(own));
        fflush(stdout);
    }
    char *shell[] = {"/bin/sh", "-c", "for n in 1 2 3; do /usr/bin/env true; done; exit 7", NULL};
    printf("test shell came to %d ... ok\n", start(shell));
    return 0;
}
