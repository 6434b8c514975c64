// SPDX-License-Identifier: Apache-2.0
/* The runner behind shim/criterion/criterion.h. Arguments: --tap=FILE as
 * Criterion's; "suite" or "suite::name" selects. */
#include <criterion/criterion.h>
#include <sys/wait.h>
#include <unistd.h>

static struct shim_test *tests;
static struct {
	const char *name;
	struct shim_options options;
} suite[64];
static int suite_count;
static bool failed; /* in the child */

void shim_register(struct shim_test *test)
{
	test->next = tests;
	tests = test;
}

void shim_register_suite(const char *name, struct shim_options options)
{
	if (suite_count == 64)
		abort();
	suite[suite_count].name = name;
	suite[suite_count++].options = options;
}

void shim_check(bool ok, bool fatal, const char *file, int line, const char *what)
{
	if (ok)
		return;
	fprintf(stderr, "%s:%d: %s\n", file, line, what);
	if (fatal)
		_exit(1);
	__atomic_store_n(&failed, true, __ATOMIC_RELAXED);
}

enum result { OK, NOT_OK, SKIPPED };

static enum result run_one(
	const struct shim_test *test, void *param, const struct shim_options *of_suite)
{
	fflush(NULL); /* or the child says it again */
	pid_t pid = fork();
	if (pid == 0) {
		int timeout = test->options.timeout ? test->options.timeout : of_suite->timeout;
		alarm(timeout ? (unsigned)timeout : 120);
		void (*init)(void) = test->options.init ? test->options.init : of_suite->init;
		void (*fini)(void) = test->options.fini ? test->options.fini : of_suite->fini;
		if (init)
			init();
		test->run(param);
		if (fini)
			fini();
		exit(failed);
	}
	int status = 0;
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		return NOT_OK;
	if (test->options.signal)
		return WIFSIGNALED(status) && WTERMSIG(status) == test->options.signal ? OK
										       : NOT_OK;
	if (WIFEXITED(status) && WEXITSTATUS(status) == SHIM_SKIPPED)
		return SKIPPED;
	return WIFEXITED(status) && WEXITSTATUS(status) == test->options.exit_code ? OK : NOT_OK;
}

/* Else a test that is to die of SIGSEGV would end in the sanitizer's report. */
__attribute__((visibility("default"))) const char *__tsan_default_options(void);
const char *__tsan_default_options(void)
{
	return "handle_segv=0";
}

int main(int argc, char **argv)
{
	unsigned run = 0, bad = 0;
	FILE *tap = NULL;
	const char *only = NULL;
	for (int i = 1; i < argc; i++) {
		if (strncmp(argv[i], "--tap=", 6) == 0)
			tap = fopen(argv[i] + 6, "we");
		else
			only = argv[i];
	}
	for (const struct shim_test *t = tests; t; t = t->next) {
		char name[256];
		snprintf(name, sizeof(name), "%s::%s", t->suite, t->name);
		if (only && strcmp(only, t->suite) && strcmp(only, name))
			continue;
		struct shim_options of_suite = { 0 };
		for (int i = 0; i < suite_count; i++)
			if (!strcmp(suite[i].name, t->suite))
				of_suite = suite[i].options;
		struct criterion_test_params p = { .length = 1 };
		if (t->params)
			p = t->params();
		for (size_t i = 0; i < p.length; i++, run++) {
			void *param = p.params ? (char *)p.params + i * p.size : NULL;
			enum result result = run_one(t, param, &of_suite);
			if (tap)
				fprintf(tap, "%s - %s%s\n", result == NOT_OK ? "not ok" : "ok",
					name, result == SKIPPED ? " # SKIP" : "");
			if (result == NOT_OK) {
				fprintf(stderr, "not ok: %s [%zu]\n", name, i);
				bad++;
			}
		}
	}
	if (tap)
		fclose(tap);
	printf("Tested: %u | Passing: %u | Failing: %u\n", run, run - bad, bad);
	return bad != 0;
}
