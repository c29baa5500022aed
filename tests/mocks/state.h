/* What a mocked driver library is told to do.
 *
 * The file that MOCK_GPU_STATE names has a line `key=value` for each thing that differs from a healthy machine with
 * one card. A function's name as the key gives its return code; the values `hang` and `crash` stand for themselves.
 * `name[2]` is about device 2 only. */
#ifndef MOCK_STATE_H
#define MOCK_STATE_H
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *state_text(const char *key) {
    static char line[512], found[512];
    const char *path = getenv("MOCK_GPU_STATE");
    FILE *file = path ? fopen(path, "r") : NULL;
    int seen = 0;
    if (!file) return NULL;
    while (fgets(line, sizeof line, file)) {
        char *equals = strchr(line, '=');
        if (!equals) continue;
        *equals = 0;
        if (strcmp(line, key)) continue;
        snprintf(found, sizeof found, "%s", equals + 1);
        found[strcspn(found, "\n")] = 0;
        seen = 1;
    }
    fclose(file);
    return seen ? found : NULL;
}

static const char *state_of(const char *key, int device) {
    char indexed[256];
    const char *text;
    snprintf(indexed, sizeof indexed, "%s[%d]", key, device);
    text = state_text(indexed);
    return text ? text : state_text(key);
}

static long long state_number(const char *key, int device, long long otherwise) {
    const char *text = state_of(key, device);
    return text ? strtoll(text, NULL, 0) : otherwise;
}

/* The return code of a function; hangs or crashes first if it is told to. */
static int enter(const char *function, int device) {
    const char *text = state_of(function, device);
    if (!text) return 0;
    if (!strcmp(text, "hang")) for (;;) pause();
    if (!strcmp(text, "crash")) *(volatile int *)0 = 1;
    return (int)strtol(text, NULL, 0);
}

static void copy_text(char *to, unsigned length, const char *key, int device, const char *otherwise) {
    const char *text = state_of(key, device);
    snprintf(to, length, "%s", text ? text : otherwise);
}
#endif
