/* The program of all plugins and the daemon: Python, with the first module that it runs inside.
 *
 * Linked statically and at a fixed address, as Debian's python3 is, so that the dynamic loader has
 * nothing to adjust in Python's 7 MB. It takes nothing from the machine: no path, no environment,
 * no locale. "frozen.h" is made by embed.py.
 */
#define _GNU_SOURCE
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <errno.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "frozen.h"

#if PY_VERSION_HEX < 0x030C0000
/* os.setns as Python 3.12 has it: to call the C library's by _ctypes costs a plugin 0.7 ms. */
static PyObject *set_namespace(PyObject *module, PyObject *arguments)
{
    int fd, kind = 0;

    (void)module;
    if (!PyArg_ParseTuple(arguments, "i|i:setns", &fd, &kind))
        return NULL;
    if (setns(fd, kind))
        return PyErr_SetFromErrno(PyExc_OSError);
    Py_RETURN_NONE;
}

/* Before anything imports `os`, which takes over whatever `posix` has. */
static int add_setns(void)
{
    static PyMethodDef method = {"setns", set_namespace, METH_VARARGS, NULL};
    PyObject *posix = PyImport_ImportModule("posix"), *function = PyCFunction_New(&method, NULL);
    int failed = !posix || !function || PyObject_SetAttrString(posix, "setns", function);

    Py_XDECREF(function);
    Py_XDECREF(posix);
    return failed;
}
#else
static int add_setns(void)
{
    return 0;
}
#endif

/* Every path is given that Python would else look for on the machine: modules are cni_bundle's
 * affair, which finds their store beside this file. */
static PyStatus configure(PyConfig *config, const char *self, int count, char **arguments)
{
    wchar_t **sought[] = {&config->base_executable, &config->prefix,           &config->exec_prefix,
                          &config->base_prefix,     &config->base_exec_prefix, &config->stdlib_dir};
    PyStatus status = PyConfig_SetBytesString(config, &config->executable, self);

    config->module_search_paths_set = 1;
    config->site_import = 0;
    config->write_bytecode = 0;
    config->pathconfig_warnings = 0;
    config->install_signal_handlers = 1; /* SIGINT and SIGPIPE as everywhere in Python */
    for (size_t at = 0; !PyStatus_Exception(status) && at < sizeof sought / sizeof *sought; at++)
        status = PyConfig_SetBytesString(config, sought[at], self);
    return PyStatus_Exception(status) ? status : PyConfig_SetBytesArgv(config, count, arguments);
}

int main(int count, char **arguments)
{
    PyPreConfig before;
    PyConfig config;
    PyStatus status;
    char self[PATH_MAX];
    ssize_t size = readlink("/proc/self/exe", self, sizeof self - 1);

    if (size <= 0) {
        fprintf(stderr, "the plugin cannot find itself, is /proc mounted? %s\n", strerror(errno));
        return 1;
    }
    self[size] = '\0';
    PyPreConfig_InitIsolatedConfig(&before);
    before.utf8_mode = 1;
    before.configure_locale = 0;
    PyImport_FrozenModules = frozen;
    status = Py_PreInitialize(&before);
    if (!PyStatus_Exception(status)) {
        PyConfig_InitIsolatedConfig(&config);
        status = configure(&config, self, count, arguments);
        if (!PyStatus_Exception(status))
            status = Py_InitializeFromConfig(&config);
        PyConfig_Clear(&config);
    }
    if (PyStatus_Exception(status))
        Py_ExitStatusException(status);
    if (add_setns() || PyImport_ImportFrozenModule("__main__") < 1)
        PyErr_Print();
    return 1; /* it does not come back: it ends the process itself */
}
