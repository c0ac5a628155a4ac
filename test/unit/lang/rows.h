/* rows: a table in a file, two lines a row: "> TEXT" and what comes of it. Tabs and line ends inside are written as their Unicode pictures;
 * "L" stands for a text that is refused with the words of `later`, because this version has not got what it asks for. */
#pragma once
#include "base/str.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static size_t unmarked(char *s, size_t n)
{
	static const char *const marks[] = { "\xe2\x90\xa4", "\xe2\x90\x89", "\xe2\x90\x8d" };
	char *to = s;
	for (size_t i = 0; i < n; i++) {
		unsigned k = 0;
		while (k < 3 && strncmp(s + i, marks[k], 3))
			k++;
		*to++ = k < 3 ? "\n\t\r"[k] : s[i];
		i += k < 3 ? 2 : 0;
	}
	*to = 0;
	return (size_t)(to - s);
}

/* made_of: what comes of a text, malloc'd. shortest: octets of a row's first line, its end included; more_than: rows that there must be. */
static void check_rows(const char *path, char *(*made_of)(struct fl_str text), const char *later, ssize_t shortest, unsigned more_than)
{
	FILE *f = fopen(path, "r");
	char *line = NULL, *want = NULL;
	size_t cap = 0, wcap = 0;
	ssize_t n, w;
	unsigned wrong = 0, rows = 0;
	assert_non_null(f);
	while ((n = getline(&line, &cap, f)) > 0 && (w = getline(&want, &wcap, f)) > 0) {
		assert_true(n >= shortest && line[0] == '>' && w >= 2);
		size_t len = unmarked(line, (size_t)n - 1);
		unmarked(want, (size_t)w - 1);
		char *got = made_of((struct fl_str){ line + 2, len - 2 });
		if (!strcmp(want, "L") ? !strstr(got, later) : strcmp(got, want) != 0) {
			wrong++;
			print_error("%s\n  want %s\n  got  %s\n", line + 2, want, got);
		}
		rows++;
		free(got);
	}
	free(line);
	free(want);
	fclose(f);
	assert_true(rows > more_than);
	assert_int_equal(wrong, 0);
}

/* A text of n parts between head and tail: what comes of it must have `want` in it. */
static void check_repeated(char *(*made_of)(struct fl_str text), const char *head, const char *part, const char *tail, unsigned n, const char *want)
{
	char *text;
	size_t size;
	FILE *f = open_memstream(&text, &size);
	fputs(head, f);
	while (n--)
		fputs(part, f);
	fputs(tail, f);
	fclose(f);
	char *got = made_of(fl_str(text));
	if (!strstr(got, want))
		fail_msg("%.60s…: want %s, got %.200s", text, want, got);
	free(text);
	free(got);
}
