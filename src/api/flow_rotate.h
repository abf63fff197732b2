/* SPDX-License-Identifier: BSD-2-Clause */
/* Old files of a flow log: their names, which of them stay, and compressing them. */
#pragma once

#include <zlib.h>

#include "util/util.h"

struct rotation {
	int dir;       /* that all of them are in */
	char *name;    /* of the file that is written, in dir */
	size_t stem;   /* of name, without its extension */
	uint32_t keep; /* old files; UINT32_MAX: all */
	bool compress;
	/* the one that is compressed at the moment */
	char *packing; /* NULL: none */
	int in, out;
	z_stream z;
};

/* The texts of failures do not name the log: the caller does. */
int rotation_open(struct rotation *r, const char *path, struct errtext *err);
/* Open the directory anew, which may be another under that path now. */
int rotation_reopen(struct rotation *r, const char *path, struct errtext *err);
/* What is not compressed to the end stays as it was. */
void rotation_close(struct rotation *r);

/* Give the file that is written an old one's name. */
int rotation_rename(struct rotation *r, struct errtext *err);
/* Remove the oldest, and find one to compress. */
int rotation_tidy(struct rotation *r, struct errtext *err);
/* A piece of compressing: 1: there is more to do; 0: not. */
int rotation_pack(struct rotation *r, struct errtext *err);
