// SPDX-License-Identifier: ISC
// service_stress.c: times of stress: master says that the service is at its limit, and ctx->settings becomes what
// main.cf gives for stress = yes. Both sets of settings live as long as the process, so what points into one stays
// valid.
#include "lib/base/log.h"
#include "lib/ipc/service_internal.h"

// Reads the settings once more, as if `stress` had another value.
static int load_others(struct service_run *run, bool is_stressed, struct err *err)
{
    struct conf *layer = conf_open_layer(run->ctx.conf);
    struct settings *settings = ARENA_NEW(&run->arena, struct settings);
    conf_override(layer, STR("stress"), is_stressed ? STR("yes") : STR(""));
    int rc = settings_load(layer, run->service->program, &run->arena, settings, err);
    conf_free(layer);
    if (rc == 0)
        run->other_settings = settings;
    return rc;
}

void service_set_stress(struct service_run *run, bool is_stressed)
{
    struct err err = ERR_INIT;
    bool was_born_so = run->settings.stress.len > 0;
    if ((run->ctx.settings->stress.len > 0) == is_stressed)
        return;
    if (is_stressed != was_born_so && run->other_settings == NULL && load_others(run, is_stressed, &err) < 0) {
        log_warn("settings for a time of stress: %s: those of before hold", err.text);
        return;
    }
    run->ctx.settings = is_stressed == was_born_so ? &run->settings : run->other_settings;
    if (run->service->stress != NULL)
        run->service->stress(&run->ctx, is_stressed);
}
