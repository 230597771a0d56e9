# npm, node-gyp-build and prebuildify build addons through node-gyp; this hands
# the work to CMake. The action copies what CMake built to PRODUCT_DIR.
{
  'targets': [
    {
      'target_name': 'stomp_serve',
      'type': 'none',
      'actions': [
        {
          'action_name': 'cmake',
          'inputs': ['CMakeLists.txt', 'scripts/build-native.mjs'],
          'outputs': ['<(PRODUCT_DIR)/stomp_serve.node'],
          'action': ['node', 'scripts/build-native.mjs', '--out', '<(PRODUCT_DIR)'],
        },
      ],
    },
  ],
}
