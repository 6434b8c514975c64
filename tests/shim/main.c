// SPDX-License-Identifier: Apache-2.0
/* The runner behind shim/criterion/criterion.h. An argument "suite/name" or "suite" selects. */
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

static bool run_one(const struct shim_test *test, void *param, const struct shim_options *of_suite)
{
	pid_t pid = fork();
	if (pid == 0) {
		int timeout = test->options.timeout ? test->options.timeout : of_suite->timeout;
		alarm(timeout ? (unsigned)timeout : 60);
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
		return false;
	if (test->options.signal)
		return WIFSIGNALED(status) && WTERMSIG(status) == test->options.signal;
	return WIFEXITED(status) && WEXITSTATUS(status) == test->options.exit_code;
}

int main(int argc, char **argv)
{
	unsigned run = 0, bad = 0;
	for (const struct shim_test *t = tests; t; t = t->next) {
		char name[256];
		snprintf(name, sizeof(name), "%s/%s", t->suite, t->name);
		if (argc > 1 && strcmp(argv[1], t->suite) && strcmp(argv[1], name))
			continue;
		struct shim_options of_suite = { 0 };
		for (int i = 0; i < suite_count; i++)
			if (!strcmp(suite[i].name, t->suite))
				of_suite = suite[i].options;
		struct criterion_test_params p = { .length = 1 };
		if (t->params)
			p = t->params();
		for (size_t i = 0; i < p.length; i++, run++) {
			if (run_one(t, p.params ? (char *)p.params + i * p.size : NULL, &of_suite))
				continue;
			fprintf(stderr, "FAIL %s [%zu]\n", name, i);
			bad++;
		}
	}
	printf("Tested: %u | Passing: %u | Failing: %u\n", run, run - bad, bad);
	return bad != 0;
}
