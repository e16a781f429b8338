#!/bin/bash
#SBATCH --no-requeue
#SBATCH --job-name=b-7f3a
#SBATCH --array=0-2
#SBATCH --chdir=/home/ada/.molehill/executions/k/batches/b-7f3a
#SBATCH --output=/home/ada/.molehill/executions/k/batches/b-7f3a/log
#SBATCH --open-mode=append
#SBATCH --partition=short,long
#SBATCH --account=physics
#SBATCH --qos=high
#SBATCH --time=1590
#SBATCH --mem=2048M
#SBATCH --nodes=2
#SBATCH --ntasks=8
#SBATCH --cpus-per-task=4
#SBATCH --gres=gpu:1,nvme:1,license
#SBATCH --constraint=intel&ib
#SBATCH --reservation=course
#SBATCH --wckey=key
#SBATCH --exclusive
#SBATCH --mail-type=END
#SBATCH --comment="two words -J"
exit 0
