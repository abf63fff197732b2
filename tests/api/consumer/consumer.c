/* SPDX-License-Identifier: BSD-2-Clause */
/* A program outside the tree, in C and in C++, with nothing but pkg-config. Calls
 * that need no privileges. */
#include <cilium-lite/cilium-lite.h>
#include <cilium-lite/sys/bpf.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

static int failed;

static void expect(int ok, const char *what)
{
	printf("%s %s\n", ok ? "ok" : "not ok", what);
	failed |= !ok;
}

static int count(const struct clite_feature *feature, void *userdata)
{
	*(int *)userdata += feature->name && feature->reason && feature->reason[0];
	return 0;
}

static void test_documents(void)
{
	static const char good[] = "apiVersion: cilium.io/v2\n"
				   "kind: CiliumNetworkPolicy\n"
				   "metadata: {name: web}\n"
				   "spec:\n"
				   "  endpointSelector: {matchLabels: {app: web}}\n"
				   "  ingress:\n"
				   "  - fromEndpoints: [{matchLabels: {app: client}}]\n";
	static const char bad[] = "apiVersion: cilium.io/v2\n"
				  "kind: CiliumNetworkPolicy\n"
				  "metadata: {name: web}\n"
				  "spec:\n"
				  "  endpointSelector: {}\n"
				  "  ingresss: []\n";
	struct clite_import_opts opts;
	char text[512] = "";
	int r;

	memset(&opts, 0, sizeof(opts));
	opts.sz = sizeof(opts);
	opts.filename = "web.yaml";

	r = clite_policy_validate(good, sizeof(good) - 1, &opts, text, sizeof(text));
	if (r == -CLITE_EUNSUPPORTED && strstr(text, "libyaml")) {
		expect(1, "built without libyaml: documents are refused with the reason");
		return;
	}
	expect(r == 1, "a good document is one policy");

	r = clite_policy_validate(bad, sizeof(bad) - 1, &opts, text, sizeof(text));
	expect(r == -CLITE_EUNSUPPORTED || r == -CLITE_EDOCUMENT, "a bad document is refused");
	expect(strstr(text, "web.yaml:6") && strstr(text, "ingresss"),
	       "the text names file, line and field");
	printf("# %s\n", text);
}

int main(int argc, char **argv)
{
	struct clite_ctx *ctx = NULL;
	struct clite_open_opts opts;
	char text[512] = "";
	int features = 0, r;

	expect(clite_version() ==
		       (CLITE_VERSION_MAJOR << 16 | CLITE_VERSION_MINOR << 8 | CLITE_VERSION_PATCH),
	       "library and headers have the same version");
	expect(argc == 2 && !strcmp(clite_version_string(), argv[1]),
	       "the version is that of pkg-config");
	expect(!strcmp(clite_strerror(0), "Success"), "0 is success");
	expect(strlen(clite_strerror(-CLITE_ENOBPFFS)) > 0, "library codes have a text");
	expect(!strcmp(clite_drop_reason_text(133), "Policy denied"), "drop reasons have a text");
	test_documents();

	memset(&opts, 0, sizeof(opts));
	opts.sz = sizeof(opts);
	opts.flags = CLITE_OPEN_EPHEMERAL;
	opts.errbuf = text;
	opts.errbuf_size = sizeof(text);
	r = clite_open(NULL, &opts, &ctx);
	expect(r == -EPERM && ctx == NULL, "without privileges: EPERM");
	expect(strstr(text, "CAP_BPF") && strstr(text, "CAP_NET_ADMIN"),
	       "the text names the capabilities");
	printf("# %s\n", text);
	expect(clite_close(NULL) == NULL, "closing nothing is nothing");
	r = clite_probe(count, &features);
	expect(r > 0 && r == features, "every feature has a reason");
	return failed;
}
